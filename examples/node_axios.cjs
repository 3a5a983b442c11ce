// The vendor's own axios calls, unchanged but for base URL and key, until the image is there.
// Run: npm install axios && node node_axios.cjs

const fs = require('fs');
const axios = require('axios');

const baseUrl = process.env.FLUXMOCK_BASE_URL || 'http://127.0.0.1:8787';
const yourKey = process.env.TT_API_KEY || 'any-key';
const pollSeconds = Number(process.env.POLL_SECONDS || 3);
const out = process.env.OUT || './result.webp';

let config = {
  method: 'post',
  url: `${baseUrl}/flux/generate`,
  headers: { 
    'TT-API-KEY': yourKey
  },
  data : {
    "prompt": "a cute cat",
    "mode": "flux1-dev"
  }
};

axios(config)
.then(function (response) {
  console.log(JSON.stringify(response.status));
  fetchResult(response.data.data.jobId);
})
.catch(function (error) {
  console.log(error);
  process.exitCode = 1;
});

function fetchResult(jobId) {
  let config = {
    method: 'post',
    url: `${baseUrl}/flux/fetch`,
    headers: { 
      'TT-API-KEY': yourKey
    },
    data : {
       "jobId": jobId
    }
  };

  axios(config)
  .then(function (response) {
    console.log(JSON.stringify(response.status));
    const { status, message, data } = response.data;
    if (status === 'FAILED') throw new Error(`the job failed: ${message}`);
    if (status === 'SUCCESS') return download(data.imageUrl);
    setTimeout(fetchResult, pollSeconds * 1000, jobId);
  })
  .catch(function (error) {
    console.log(error);
    process.exitCode = 1;
  });
}

async function download(url) {
  const image = await axios.get(url, { responseType: 'arraybuffer' });
  fs.writeFileSync(out, image.data);
  console.log(out);
}
