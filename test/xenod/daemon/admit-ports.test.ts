import test from "ava";
import { admitPorts } from "../../../xenod/daemon/admit-ports.ts";
import type { DomainRecord } from "../../../xenod/daemon/domain-record.ts";

const deployment = { id: "12345678", overlay: "xenostore://demo/a", kernel: "template://K/1", memoryMiB: 64, cpus: 1 };
const range = { first: 1000, last: 1999 };
const others = [
  { name: "web", deployment: { ...deployment, ports: [{ published: 1080, guest: 80 }] } },
  { name: "none", deployment },
] as unknown as DomainRecord[];

for (const [ports, settings, error] of [
  [[{ published: 1081, guest: 80 }], range, undefined],
  [[{ published: 1080, guest: 80, protocol: "udp" }], range, undefined],
  [[{ published: 1080, guest: 81 }], range, /port 1080\/tcp is published by web/],
  [[{ published: 1080, guest: 81, protocol: "tcp" }], range, /port 1080\/tcp is published by web/],
  [[{ published: 22, guest: 22 }], range, /port 22 cannot be published here/],
  [[{ published: 2000, guest: 22 }], range, /port 2000 cannot be published here/],
  [[{ published: 1500, guest: 22 }], undefined, /port 1500 cannot be published here/],
  [undefined, undefined, undefined],
  [
    [
      { published: 1500, guest: 1 },
      { published: 1500, guest: 2 },
    ],
    range,
    /port 1500\/tcp is published twice/,
  ],
] as const)
  test(`ports ${JSON.stringify(ports)} of ${JSON.stringify(settings)} are ${error ? `refused: ${error}` : "given"}`, (t) => {
    const act = () => admitPorts({ ...deployment, ports: ports as never }, { isOnHost: true, range: settings }, others);
    if (error === undefined) t.notThrows(act);
    else t.throws(act, { message: error });
  });
