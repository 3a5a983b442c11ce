// A fetch that retries whatever is thrown, as every project has one in its utils.
import { jobOf, order, post, report, sleep, wait } from "./flux.mjs";

async function fetchRetry(path, body, retries = 3) {
  try {
    const answer = await post(path, body);
    if (!answer.ok) throw Object.assign(new Error(`HTTP ${answer.status}`), { final: answer.status < 500 });
    return await answer.json();
  } catch (error) {
    if (error.final || retries === 0) throw error;
    await sleep(2);
    return fetchRetry(path, body, retries - 1);
  }
}

report(fetchRetry("/flux/generate", order).then(jobOf).then((id) => wait(id)));
