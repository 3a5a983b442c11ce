// Node's fetch, as a line of JSON in, a line of JSON out: a call, and what came of it.

import { createInterface } from 'node:readline';

function words(error) {
  if (error instanceof SyntaxError) return error.name; // its message differs from version to version
  if (error.cause) return `${error.name}: ${error.message} (${error.cause.code ?? error.cause.name})`;
  return error instanceof TypeError ? `${error.name}: ${error.message}` : error.name;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { method, url, headers, body, timeout } = JSON.parse(line);
  const seen = {};
  try {
    const answer = await fetch(url, {
      method,
      headers: body === null ? headers : { ...headers, 'Content-Type': 'application/json' },
      body: body === null ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(timeout * 1000),
    });
    seen.status = answer.status;
    seen.value = await answer.json();
  } catch (error) {
    seen.error = words(error);
  }
  console.log(JSON.stringify(seen));
}
