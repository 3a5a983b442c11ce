// What the clients of Node share: how an answer is read, and how long one waits. Times are the client's own.
const { FLUXMOCK_BASE_URL, TT_API_KEY, FLUXMOCK_PROMPT, FLUXMOCK_MODE, FLUXMOCK_SPEED = "1" } = process.env;
export const baseUrl = FLUXMOCK_BASE_URL, order = { prompt: FLUXMOCK_PROMPT, mode: FLUXMOCK_MODE };
export const key = { "TT-API-KEY": TT_API_KEY };
export const headers = { ...key, "Content-Type": "application/json" };
export const SPEED = Number(FLUXMOCK_SPEED), TIMEOUT = 20_000 / SPEED, BUSY = [429, 503];
export const now = () => (Date.now() / 1000) * SPEED;
export const sleep = (seconds) => new Promise((wake) => setTimeout(wake, (seconds * 1000) / SPEED));

export function pauseBefore(attempt, retryAfter) {
  return /^\d+$/.test(retryAfter ?? "") ? Math.min(Math.max(Number(retryAfter), 0.5), 60) : 2 * 2 ** attempt;
}

export async function post(path, body) {
  const signal = AbortSignal.timeout(TIMEOUT);
  return fetch(baseUrl + path, { method: "POST", headers, body: JSON.stringify(body), redirect: "manual", signal });
}

export async function submit() {
  for (let attempt = 0; ; attempt++) {
    const answer = await post("/flux/generate", order);
    if (BUSY.includes(answer.status) && attempt < 3) {
      await answer.text();
      await sleep(pauseBefore(attempt, answer.headers.get("Retry-After")));
      continue;
    }
    if (answer.status !== 200) throw new Error(`HTTP ${answer.status}`);
    return jobOf(await answer.json());
  }
}

export function jobOf(answer) {
  const id = answer?.data?.jobId ?? answer?.data?.job_id;
  if (!id) throw new Error("no job was made");
  return id;
}

// The URL of the image; nothing as long as the job runs.
export function urlOf(answer) {
  if (answer?.status === "FAILED") throw new JobFailed(answer.message);
  if (answer?.status !== "SUCCESS") return undefined;
  if (!answer.data?.imageUrl) throw new JobFailed("there is no image");
  return answer.data.imageUrl;
}

export class JobFailed extends Error {}

const byPost = (id) => post("/flux/fetch", { jobId: id });

export async function look(id, ask = byPost) {
  try {
    const answer = await ask(id);
    if (BUSY.includes(answer.status)) await sleep(pauseBefore(0, answer.headers.get("Retry-After")));
    return answer.status === 200 ? await answer.json() : undefined;
  } catch {
    return undefined;
  }
}

export async function wait(id, seen = look) {
  for (const ends = now() + 180; now() < ends; ) {
    await sleep(2);
    const url = urlOf(await seen(id));
    if (url) return url;
  }
  throw new Error("the job took too long");
}

export function report(work) {
  work.then(
    (url) => {
      console.log(url);
      process.exit(0);
    },
    (error) => {
      console.error(String(error));
      process.exit(1);
    },
  );
}
