// axios calls a body that is a text a form; the id in the query is what is read in the end.
const axios = require("axios");

const { FLUXMOCK_BASE_URL: baseURL, TT_API_KEY, FLUXMOCK_PROMPT: prompt, FLUXMOCK_MODE: mode } = process.env;
const speed = Number(process.env.FLUXMOCK_SPEED ?? 1);
const api = axios.create({ baseURL, headers: { "TT-API-KEY": TT_API_KEY }, timeout: 20_000 / speed, maxRedirects: 0 });

async function main() {
  const made = await api.post("/flux/generate", { prompt, mode });
  const { jobId } = made.data.data;
  for (let turn = 0; turn < 60; turn++) {
    await new Promise((wake) => setTimeout(wake, 2000 / speed));
    const asked = api.post(`/flux/fetch?jobId=${jobId}`, JSON.stringify({ jobId }));
    const { data } = await asked.catch(() => ({ data: {} }));
    if (data.status === "FAILED") throw new Error(data.message);
    if (data.status === "SUCCESS") return data.data.imageUrl;
  }
  throw new Error("the job took too long");
}

main().then(
  (url) => console.log(url),
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
  },
);
