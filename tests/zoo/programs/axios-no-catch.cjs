// axios throws at every status that is no 2xx, and nobody catches it in the loop.
const { byPost, report, submit, wait } = require("./flux.cjs");

report(submit().then((id) => wait(id, async (id) => (await byPost(id)).data)));
