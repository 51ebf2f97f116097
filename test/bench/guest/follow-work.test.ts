import test from "ava";
import { followWork, readWork } from "../../../bench/guest/follow-work.ts";

const whole =
  "Debian\r\nbench: up\r\nbench login: bench: apt-get install 31250\r\nbench: tar to a file 900\r\nbench: done\r\n";

test("work is read from a console at any moment, and names may hold spaces", (t) => {
  const nothing = { isUp: false, isDone: false, failed: undefined, figures: {}, requests: {} };
  t.deepEqual(readWork(""), nothing);
  t.deepEqual(readWork("a line with bench: up 3 in it"), nothing);
  const figures = { "apt-get install": 31250, "tar to a file": 900 };
  t.deepEqual(readWork(whole), { isUp: true, isDone: true, failed: undefined, figures, requests: {} });
  t.is(readWork("bench: up\r\nbench: FAILED apt-get install\r\n").failed, "apt-get install");
});

test("requests are those of the work alone, and none where the guest's kernel counts none or its line came broken", (t) => {
  const before = "bench: before LOOKUP:10/20 READ:3/4.\r\n";
  const after = "bench: after ACCESS:2/1 LOOKUP:15/32 READ:3/4.\r\n";
  t.deepEqual(readWork(before + whole + after).requests, {
    ACCESS: { count: 2, ms: 1 },
    LOOKUP: { count: 5, ms: 12 },
  });
  t.deepEqual(readWork(`bench: before.\r\n${whole}bench: after.\r\n`).requests, {});
  t.deepEqual(readWork(before + whole + after.replace(".", "")).requests, {});
});

test("a guest is followed until its work is done, and a failure is told with what it printed", async (t) => {
  const { signal } = new AbortController();
  const told: string[] = [];
  let read = 0;
  const readConsole = async () => whole.slice(0, 20 * ++read);
  const guest = { readConsole, remove: async () => {} };
  const {
    figures: { boot, ...figures },
  } = await followWork(guest, Date.now(), (what) => told.push(what), signal);
  t.true(boot >= 0);
  t.deepEqual(figures, { "apt-get install": 31250, "tar to a file": 900 });
  t.deepEqual(told, ["apt-get install took 31.3 s", "tar to a file took 0.9 s"]);
  const failing = { ...guest, readConsole: async () => "dpkg: no\r\nbench: FAILED apt-get install\r\n" };
  const error = await t.throwsAsync(followWork(failing, Date.now(), () => {}, signal));
  t.like(error, { code: "guest-work-failed" });
  t.regex((error as unknown as { hint: string }).hint, /dpkg: no/);
});
