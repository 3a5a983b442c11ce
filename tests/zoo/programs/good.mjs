// Node's fetch, with a timeout for every call and no redirects.
import { report, submit, wait } from "./flux.mjs";

report(submit().then((id) => wait(id)));
