-- Load for wrk. Arguments after `--`:
--   fetch KEY JOB_ID   fetches one job again and again
--   cycle KEY          whole jobs: submit, then polls until one sees SUCCESS
-- Ends with one line of JSON: requests, seconds, p50 and p99 in milliseconds, errors, finished jobs.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  wrk.method = "POST"
  wrk.headers["TT-API-KEY"] = args[2]
  wrk.headers["Content-Type"] = "application/json"
  finished = 0
  if args[1] == "fetch" then
    wrk.path = "/flux/fetch"
    wrk.body = '{"jobId": "' .. args[3] .. '"}'
  else
    whole_jobs()
  end
end

function whole_jobs()
  local submission = wrk.format(nil, "/flux/generate", nil,
    '{"prompt": "a lighthouse on a cliff in the morning fog, oil on canvas", "mode": "flux1-dev"}')
  -- Jobs to poll, oldest first. wrk does not say which connection an answer came on, and no answer needs it.
  local line, first, last = {}, 1, 0

  function request()
    if first > last then
      return submission
    end
    local id = line[first]
    line[first] = nil
    first = first + 1
    return wrk.format(nil, "/flux/fetch", nil, '{"jobId": "' .. id .. '"}')
  end

  function response(status, _, body)
    local _, at = body:find('"jobId":"', 1, true)
    if status ~= 200 or not at then
      return
    end
    -- The answer to a submission begins with SUCCESS too, but its jobId stands within `data`.
    local submitted = body:find('"data":{"jobId"', 1, true)
    if not submitted and body:find('"status":"SUCCESS"', 1, true) then
      finished = finished + 1
    else
      last = last + 1
      line[last] = body:sub(at + 1, at + 36)
    end
  end
end

function done(summary, latency, _)
  local errors, jobs = summary.errors, 0
  for _, thread in ipairs(threads) do
    jobs = jobs + (thread:get("finished") or 0)
  end
  io.write(string.format('{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "errors": %d, "jobs": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, jobs))
end
