// Nobody looks whether the submission was accepted: the id of the job is undefined then.
import { baseUrl, key, order, post, report, TIMEOUT, wait } from "./flux.mjs";

async function look(id) {
  const signal = AbortSignal.timeout(TIMEOUT);
  try {
    const answer = await fetch(`${baseUrl}/flux/fetch?jobId=${id}`, { headers: key, redirect: "manual", signal });
    return answer.status === 200 ? await answer.json() : undefined;
  } catch {
    return undefined;
  }
}

const answer = await post("/flux/generate", order);
const { data } = await answer.json();
report(wait(data?.jobId, look));
