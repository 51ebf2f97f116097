/** Sessions from the command line: a XenoServer whose guests are the simulator's, a XenoCorp, and the commands as the README has them. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { formatMoney } from "../../../control/ledger/money.ts";
import { choosePort } from "../../../control/network/choose-port.ts";
import { createKey } from "../../../xenostore/keys/key-ring.ts";
import { packTar } from "../../templates/import/pack.ts";
import { withCorporation } from "../corporation/running.ts";
import { shareMachine } from "../sessions/machine.ts";
import { makeXeno, poll } from "./xeno.ts";

const machine = shareMachine(test);

const wanted = `<?xml version="1.0" encoding="UTF-8"?>
<EnvironmentalRequirements>
  <Basic><EnvName>MyEnvironment</EnvName><EnvType>Linux</EnvType><EnvKernel>6.1</EnvKernel></Basic>
  <QoS><MemoryMiB>128</MemoryMiB></QoS>
</EnvironmentalRequirements>
`;

test("a session is leased, used, topped up, renewed and ended", async (t) => {
  await withCorporation(async ({ address: corporation, corporation: books }) => {
    const xeno = await makeXeno(t);
    const { server, kernel, overlay, state } = machine();
    await mkdir(join(xeno.home, "servers", "a"), { recursive: true });
    const registered = { format: 1, number: 1, prefix: server.prefix, stateDirectory: server.stateDirectory };
    await writeFile(join(xeno.home, "servers", "a", "server.json"), JSON.stringify(registered));
    const port = await choosePort();
    const address = `http://127.0.0.1:${port}`;
    const configuration = {
      ...{ name: "a", address, listen: `127.0.0.1:${port}`, key: "seller", servers: ["a"], currency: "EUR" },
      corporations: [{ address: corporation }],
      environments: [{ type: "Linux", kernels: { "6.1": kernel } }],
      prices: { MemoryMiB: 1000 },
      chargeSeconds: 0.5,
    };
    const folder = await xeno.write("sell", { "a.json": JSON.stringify(configuration), "wanted.xml": wanted });
    // Each command costs seconds: what can be looked at here is.
    for (const key of ["seller", "demo"]) await createKey(join(xeno.home, "keys"), key);
    const serving = await xeno.start(["session", "serve", join(folder, "a.json")]);
    const { holder } = await xeno.json("corporation", "register", corporation, "--name", "Ada", "--key", "demo");
    await books.payIn(holder, 5_000_000, "1");
    const asked = ["session", "new", address, "--requirements", join(folder, "wanted.xml"), "--amount", "1.00"];
    t.is((await xeno.fail([...asked, "--max-price", "0.10"])).code, "offer-dear");
    const { id, lease } = await xeno.json(...asked);
    t.like(lease, { pricePerHour: 128_000, resources: { MemoryMiB: 128 } });
    const short = id.slice(0, 8);
    const { domain } = await xeno.json("session", "deploy", short, overlay, "--id", "web", "--programs");
    await poll("the domain to run", async () => (await state(domain)) === "running");
    await writeFile(join(folder, "job.tar"), await packTar([{ name: "run", mode: 0o755, content: "#!/bin/sh\n" }]));
    const run = ["session", "run", short, "web", join(folder, "job.tar"), "--id", "job"];
    t.is((await xeno.fail([...run, "--entry", "walk"])).code, "program-entry-missing");
    t.like(await xeno.json(...run, "--seconds", "60"), { id: "job", kind: "program", domain });
    await poll("a charge", async () => (await books.ledger.balance(holder)).posted < 5_000_000);
    const resized = await xeno.json("resize", `a/${domain}`, "--memory", "96", "--net", "5000");
    t.like(resized, { now: "128 MiB, 5000 kbit/s", atNextBoot: "96 MiB, 5000 kbit/s" });
    t.is((await xeno.json("session", "top-up", short, "0.50")).orders.length, 2);
    t.like(await xeno.json("session", "modify", short, "--memory", "256", "--net", "8", "--hours", "2"), {
      lease: { number: 2, pricePerHour: 256_000 },
    });
    await xeno.json("session", "end", short);
    await poll("the rest to return", async () => (await books.ledger.balance(holder)).held === 0);
    t.is(await state(domain), "gone");
    const [listed] = await xeno.json("session", "ls");
    t.like(listed, { session: id, xenoserver: address, state: "ended", memoryMiB: 256, netMbps: 8 });
    const { posted } = await books.ledger.balance(holder);
    t.is(listed.paid, formatMoney(5_000_000 - posted));
    t.is(await serving.end(), 0);
  });
});
