// What the clients of axios share: how an answer is read, and how long one waits. Times are the client's own.
const axios = require("axios");

const { FLUXMOCK_BASE_URL: baseURL, TT_API_KEY, FLUXMOCK_PROMPT: prompt, FLUXMOCK_MODE: mode } = process.env;
const speed = Number(process.env.FLUXMOCK_SPEED ?? 1);
const api = axios.create({ baseURL, headers: { "TT-API-KEY": TT_API_KEY }, timeout: 20_000 / speed, maxRedirects: 0 });
const order = { prompt, mode };
const sleep = (seconds) => new Promise((wake) => setTimeout(wake, (seconds * 1000) / speed));

async function submit() {
  const made = await api.post("/flux/generate", order);
  const id = made.data?.data?.jobId;
  if (!id) throw new Error("no job was made");
  return id;
}

const byPost = (jobId) => api.post("/flux/fetch", { jobId });

async function look(id, ask = byPost) {
  try {
    return (await ask(id)).data;
  } catch (error) {
    const { status, headers } = error.response ?? {};
    if (status === 429 || status === 503) await sleep(pauseBefore(headers["retry-after"]));
    return undefined;
  }
}

function pauseBefore(retryAfter) {
  return /^\d+$/.test(retryAfter ?? "") ? Math.min(Math.max(Number(retryAfter), 0.5), 60) : 4;
}

async function wait(id, seen = look) {
  for (let turn = 0; turn < 60; turn++) {
    await sleep(2);
    const answer = await seen(id);
    if (answer?.status === "FAILED") throw new Error(answer.message);
    if (answer?.status !== "SUCCESS") continue;
    if (!answer.data?.imageUrl) throw new Error("there is no image");
    return answer.data.imageUrl;
  }
  throw new Error("the job took too long");
}

function report(work) {
  work.then(
    (url) => console.log(url),
    (error) => {
      console.error(error.message);
      process.exitCode = 1;
    },
  );
}

module.exports = { api, byPost, look, report, sleep, submit, wait };
