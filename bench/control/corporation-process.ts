/** A XenoCorp in a process of its own, for the load of another: prints its address once it listens. */

import { createCorporationApi } from "../../control/corporation/api.ts";
import { Corporation } from "../../control/corporation/corporation.ts";
import { loadKey } from "../../xenostore/keys/key-ring.ts";

const [directory, port] = process.argv.slice(2);
const corporation = await Corporation.open({
  name: `http://127.0.0.1:${port}`,
  key: await loadKey(directory!, "corporation"),
  databaseFile: `${directory}/corporation.sqlite`,
  currency: "EUR",
  showsNames: false,
  settlementMs: 0,
});
const api = createCorporationApi(corporation, (error) => console.error(error));
process.on("message", async ({ holder, amount }: { holder: string; amount: number }) => {
  await corporation.payIn(holder, amount, "all");
  process.send!("paid");
});
await api.listen({ host: "127.0.0.1", port: Number(port) });
process.send!("listening");
