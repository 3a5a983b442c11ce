// An interceptor of axios' that sends again what got no answer.
const { api, report, sleep, submit, wait } = require("./flux.cjs");

api.interceptors.response.use(undefined, async (error) => {
  const config = error.config;
  config.tries = (config.tries ?? 0) + 1;
  if (error.response || config.tries > 2) throw error;
  await sleep(config.tries);
  return api(config);
});

report(submit().then((id) => wait(id)));
