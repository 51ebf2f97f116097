/** What a deployment's `network` asks for holds in both directions, whoever sends. */
import test from "ava";
import { execa } from "execa";
import { createLink } from "../../../xenod/links/guest-link.ts";
import { namespacePath } from "../../../xenod/links/namespaces.ts";
import { claimPrefix, sweepLinks } from "../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../xenod/links/switch.ts";

const prefix = `xeno-rate-${process.pid}`;
const kbitPerSecond = 1_000;
const sentBytes = 4_000_000;

/** Sends as fast as it can, and prints for how many ms. */
const sender = `
const socket = require("node:dgram").createSocket("udp4");
const datagram = Buffer.alloc(1000);
const begun = performance.now();
let left = ${sentBytes / 1000};
const next = () => {
  if (left-- === 0) return console.log(performance.now() - begun), socket.close();
  socket.send(datagram, 9, process.argv[1], () => setImmediate(next));
};
next();
`;

test.before(() => claimPrefix(prefix));
test.after.always(() => sweepLinks(prefix));

test.serial("no more than the peak passes a guest's link, in either direction", async (t) => {
  await createSwitch(prefix);
  const outside = await joinSwitch({ prefix, name: "a", address: "10.77.0.1", forwards: true, routes: [] });
  const address = "10.77.1.5";
  const link = await createLink({ prefix, server: "a", domain: "web", address, peakKbitPerSecond: kbitPerSecond });
  const { stdout } = await execa("ip", ["-n", outside, "-o", "link", "show", "type", "veth"]);
  const uplink = /\b(d[0-9a-f]{12})@/.exec(stdout)![1]!;
  for (const [namespace, to, device, far] of [
    [outside, address, uplink, { namespace: link.namespace, device: "up0" }],
    [link.namespace, "10.77.0.1", "up0", { namespace: outside, device: uplink }],
  ] as const) {
    const before = await readReceived(far);
    const options = [`--net=${namespacePath(namespace)}`, process.execPath, "-e", sender, to];
    // What has no address of its own to send from takes the link's.
    const ms = Number((await execa("nsenter", options)).stdout);
    const passed = (await readReceived(far)) - before;
    t.true(passed > 10_000, `${device}: ${passed} bytes passed`);
    // The bucket, what waits for at most 100 ms, and the rate; frames have headers.
    const most = 65_536 + ((ms + 200) * kbitPerSecond) / 8;
    t.true(passed <= most * 1.1, `${device}: ${passed} bytes passed in ${ms} ms`);
  }
});

async function readReceived({ namespace, device }: { namespace: string; device: string }): Promise<number> {
  const { stdout } = await execa("ip", ["-n", namespace, "-j", "-s", "link", "show", "dev", device]);
  return JSON.parse(stdout)[0].stats64.rx.bytes;
}
