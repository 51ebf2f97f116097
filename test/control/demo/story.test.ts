/** The one story of the control plane, with the simulator's guests and one machine behind the three XenoServers. */
import { rmSync } from "node:fs";
import test from "ava";
import { startMarket } from "../../../control/demo/market.ts";
import { tellStory } from "../../../control/demo/story.ts";
import { makeFastDirectory } from "../../cowfs/fast-directory.ts";
import { makeKey } from "../credentials/make-key.ts";
import { shareMachine } from "../sessions/machine.ts";

const machine = shareMachine(test);

test("two clients of two XenoCorps find, lease, deploy, run dry, pay on and end, and the books add up", async (t) => {
  const stateDirectory = makeFastDirectory();
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rmSync(stateDirectory, { recursive: true }));
  const { client, kernel, overlay } = machine();
  const prices = { session: 10_000, MemoryMiB: 200, NetMbps: 40_000 };
  const sellers = [
    { machine: { name: "a", client }, accepts: [0], prices },
    { machine: { name: "b", client }, accepts: [0], prices },
    { machine: { name: "c", client }, accepts: [0, 1], prices: { ...prices, session: 20_000 } },
  ];
  const said: string[] = [];
  // What there is to say where it fails.
  cleanup.defer(() => t.log(said.join("\n")));
  const market = await startMarket({
    ...{ stateDirectory, sellers, chargeSeconds: 1, kernels: { "6.1": kernel }, cleanup },
    log: (who, what) => void said.push(`${who}: ${what}`),
  });
  const served: string[] = [];
  let isUp = false;
  const { sessions, books } = await tellStory({
    ...{ market, overlay, memoryMiB: 64, fastMbps: 100_000, signal: AbortSignal.timeout(240_000) },
    keys: { ada: await makeKey("ada"), bob: await makeKey("bob") },
    async untilServes({ tasks }) {
      served.push((await client.domain(tasks[0]!.domain!)).state);
    },
    async stayUp() {
      isUp = (await client.domains()).every(({ state }) => state === "running");
    },
    tell: (who, what) => void said.push(`${who}: ${what}`),
  });
  t.true(isUp);
  t.deepEqual(served, ["running", "running", "running", "running"]);
  t.deepEqual(sessions.map(({ machine: name }) => name).sort(), ["a", "b", "c"]);
  t.deepEqual(
    books.map(({ client: name, paid }) => [name, paid > 0]),
    [
      ["Ada", true],
      ["Bob", true],
    ],
  );
  t.deepEqual(await client.domains(), []);
  t.deepEqual(
    said.filter((line) => line.includes("defect") || line.includes("refused")),
    [],
  );
});
