// A fetch that retries whatever is thrown, as every project has one in its utils.
import { jobOf, order, pauseBefore, post, report, sleep, wait } from "./flux.mjs";

async function fetchRetry(path, body, retries = 3) {
  let pause = pauseBefore(0);
  try {
    const answer = await post(path, body);
    if (answer.ok) return await answer.json();
    pause = pauseBefore(0, answer.headers.get("Retry-After"));
    throw Object.assign(new Error(`HTTP ${answer.status}`), { final: answer.status < 500 });
  } catch (error) {
    if (error.final || retries === 0) throw error;
    await sleep(pause);
    return fetchRetry(path, body, retries - 1);
  }
}

report(fetchRetry("/flux/generate", order).then(jobOf).then((id) => wait(id)));
