/** XenoServers that sell say so at the information service, and find out how far they are from each other. */
import { createServer } from "node:net";
import test from "ava";
import { createInformationApi } from "../../../control/information/api.ts";
import { InformationClient } from "../../../control/information/client.ts";
import { InformationNode } from "../../../control/information/node.ts";
import { addSearchRoute } from "../../../control/search/api.ts";
import { advertise } from "../../../control/sessions/advertise.ts";
import { measurePlace, measureRoundTrip } from "../../../control/sessions/measure-place.ts";
import { makeKey } from "../credentials/make-key.ts";
import { shareMachine } from "./machine.ts";
import { withSelling } from "./selling.ts";

const machine = shareMachine(test);

test("what a XenoServer has and costs is found, with where it is", async (t) => {
  const node = new InformationNode({ peers: [], intervalMs: 60_000, log: () => {} });
  const api = createInformationApi(node, (error) => t.fail(String(error)));
  addSearchRoute(api, node);
  const information = await api.listen({ host: "127.0.0.1", port: 0 });
  t.teardown(() => api.close());
  const settings = { information: [information], tokens: { Country: "GB", MemoryMiB: "all of it" } };
  await withSelling(
    machine(),
    async ({ manager, corporation, reopen, defects }) => {
      t.is(await advertise(manager, undefined), 1);
      const rival = await reopen({ key: await makeKey(), stateDirectory: `${manager.options.stateDirectory}-rival` });
      t.is(await advertise(rival, { x: 3, y: 4, height: 1, error: 0.5 }), 1);
      const client = new InformationClient(information);
      const { matches } = await client.findServers({
        count: 10,
        environment: { type: "Linux", kernel: "6.1" },
        resources: { MemoryMiB: 64 },
        hours: 2,
        where: {
          all: [
            { token: "XenoCorp", value: corporation.address },
            { token: "Country", value: "GB" },
          ],
        },
      });
      t.deepEqual(
        matches.map(({ server }) => server).sort(),
        [manager, rival].map(({ options }) => options.key.id).sort(),
      );
      t.like(matches[0], { address: manager.options.configuration.address, price: 7_200 });

      const { id: server } = manager.options.key;
      const { address } = manager.options.configuration;
      t.is(
        await measurePlace(undefined, { information: [information], server, peers: [] }),
        undefined,
        "loopback is not public",
      );
      const place = await measurePlace(undefined, { information: [information], server, peers: [address] });
      t.true(place !== undefined && place.error <= 1 && place.height > 0);
      t.deepEqual(defects, []);
    },
    settings,
  );
});

test("a round trip is measured to public addresses, and to those that the operator names", async (t) => {
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.teardown(() => server.close());
  const address = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  t.true((await measureRoundTrip(address, [address])) > 0);
  for (const refused of [address, "http://169.254.169.254", "http://[::1]:80", "http://10.0.0.1", "http://localhost:1"])
    await t.throwsAsync(measureRoundTrip(refused, []), { message: /is not public$/ }, refused);
});
