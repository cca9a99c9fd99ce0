// Makes a container: ENDPOINT ACCOUNT KEY CONTAINER.
// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
const [endpoint, account, key, container] = process.argv.slice(1);
const date = new Date().toUTCString();
const version = "2021-08-06";
const target = new URL(`${endpoint}/${container}?restype=container`);
const signed = ["PUT", ...Array(11).fill(""), `x-ms-date:${date}`, `x-ms-version:${version}`,
  `/${account}${target.pathname}`, "restype:container"].join("\n");
const hmac = require("node:crypto").createHmac("sha256", Buffer.from(key, "base64")).update(signed, "utf8");
const headers = {
  "x-ms-date": date,
  "x-ms-version": version,
  Authorization: `SharedKey ${account}:${hmac.digest("base64")}`,
};
fetch(target, { method: "PUT", headers }).then(async (answer) => {
  if (!answer.ok) {
    console.error(answer.status, await answer.text());
    process.exit(1);
  }
});
