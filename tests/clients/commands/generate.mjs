// A client of Node's fetch: node generate.mjs, told by its environment. RETRIES are retries of any request.
const { FLUXMOCK_BASE_URL, TT_API_KEY, FLUXMOCK_PROMPT, FLUXMOCK_MODE, RETRIES = "0", PAUSE = "1" } = process.env;

async function post(path, body, retries = Number(RETRIES)) {
  const headers = { "TT-API-KEY": TT_API_KEY, "Content-Type": "application/json" };
  const wish = { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(1500) };
  try {
    return await (await fetch(FLUXMOCK_BASE_URL + path, wish)).json();
  } catch (error) {
    if (retries <= 0) throw error;
    return post(path, body, retries - 1);
  }
}

const { data } = await post("/flux/generate", { prompt: FLUXMOCK_PROMPT, mode: FLUXMOCK_MODE });
for (let turn = 0; turn < 10; turn++) {
  const answer = await post("/flux/fetch", { jobId: data.jobId });
  if (answer.status === "SUCCESS") {
    console.log(answer.data.imageUrl);
    process.exit(0);
  }
  if (answer.status === "FAILED") throw new Error(answer.message);
  await new Promise((wake) => setTimeout(wake, 1000 * PAUSE));
}
process.exit(1);
