// Nobody looks whether the submission was accepted: the id of the job is undefined then.
import { baseUrl, key, look, order, post, report, TIMEOUT, wait } from "./flux.mjs";

const signal = () => AbortSignal.timeout(TIMEOUT);
const byQuery = (id) => fetch(`${baseUrl}/flux/fetch?jobId=${id}`, { headers: key, redirect: "manual", signal: signal() });

const answer = await post("/flux/generate", order);
const { data } = await answer.json();
report(wait(data?.jobId, (id) => look(id, byQuery)));
