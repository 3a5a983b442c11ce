// An interceptor of axios' that sends again what got no answer.
const axios = require("axios");

const { FLUXMOCK_BASE_URL: baseURL, TT_API_KEY, FLUXMOCK_PROMPT: prompt, FLUXMOCK_MODE: mode } = process.env;
const speed = Number(process.env.FLUXMOCK_SPEED ?? 1);
const sleep = (seconds) => new Promise((wake) => setTimeout(wake, (seconds * 1000) / speed));
const api = axios.create({ baseURL, headers: { "TT-API-KEY": TT_API_KEY }, timeout: 20_000 / speed, maxRedirects: 0 });

api.interceptors.response.use(undefined, async (error) => {
  const config = error.config;
  config.tries = (config.tries ?? 0) + 1;
  if (error.response || config.tries > 2) throw error;
  await sleep(config.tries);
  return api(config);
});

async function main() {
  const made = await api.post("/flux/generate", { prompt, mode });
  const jobId = made.data.data.jobId;
  for (let turn = 0; turn < 60; turn++) {
    await sleep(2);
    const { data } = await api.post("/flux/fetch", { jobId }).catch(() => ({ data: {} }));
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
