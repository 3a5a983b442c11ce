// Node's built-in fetch and FormData (Node 18 or newer, nothing to install): generate an image, then upload it
// to /flux/edits.
// Run: node node_fetch.mjs

import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const baseUrl = process.env.FLUXMOCK_BASE_URL || 'http://127.0.0.1:8787';
const headers = { 'TT-API-KEY': process.env.TT_API_KEY || 'any-key' };
const pollSeconds = Number(process.env.POLL_SECONDS || 3);
const out = process.env.OUT || './result.webp';

async function post(path, body) {
  // fetch writes the Content-Type of a FormData itself, with the boundary of its parts.
  const request = body instanceof FormData
    ? { headers, body }
    : { headers: { ...headers, 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(baseUrl + path, { method: 'POST', ...request });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

async function make(path, order) {
  const { data } = await post(path, order);
  const jobId = data.jobId ?? data.job_id; // the newer contract writes job_id
  console.log('job', jobId);

  let result;
  while ((result = await post('/flux/fetch', { jobId })).status !== 'SUCCESS') {
    if (result.status === 'FAILED') throw new Error(`the job failed: ${result.message}`);
    console.log(result.status);
    await sleep(pollSeconds * 1000);
  }
  const image = await fetch(result.data.imageUrl);
  if (!image.ok) throw new Error(`the image answered ${image.status}`);
  return image.blob();
}

const cat = await make('/flux/generate', { prompt: 'a cute cat', mode: 'flux1-dev' });

const form = new FormData();
form.append('prompt', 'the same cat, in oil');
form.append('mode', 'flux-kontext-pro');
form.append('aspect_ratio', '21:9');
form.append('image', cat, 'chat à peindre.webp');
const painting = await make('/flux/edits', form);

await writeFile(out, Buffer.from(await painting.arrayBuffer()));
console.log(out);
