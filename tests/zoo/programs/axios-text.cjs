// axios calls a body that is a text a form; the id in the query is what is read in the end.
const { api, look, report, submit, wait } = require("./flux.cjs");

const asText = (jobId) => api.post(`/flux/fetch?jobId=${jobId}`, JSON.stringify({ jobId }));
report(submit().then((id) => wait(id, (id) => look(id, asText))));
