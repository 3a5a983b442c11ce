// axios throws at every status that is no 2xx, and nobody catches it in the loop.
const axios = require("axios");

const { FLUXMOCK_BASE_URL: baseURL, TT_API_KEY, FLUXMOCK_PROMPT: prompt, FLUXMOCK_MODE: mode } = process.env;
const speed = Number(process.env.FLUXMOCK_SPEED ?? 1);
const api = axios.create({ baseURL, headers: { "TT-API-KEY": TT_API_KEY }, timeout: 20_000 / speed, maxRedirects: 0 });

async function main() {
  const made = await api.post("/flux/generate", { prompt, mode });
  const jobId = made.data.data.jobId;
  for (let turn = 0; turn < 60; turn++) {
    await new Promise((wake) => setTimeout(wake, 2000 / speed));
    const { data } = await api.post("/flux/fetch", { jobId });
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
