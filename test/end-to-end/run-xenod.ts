/** Program: one Xenod, as a process that tests can kill. Its only argument is JSON. */
import { pino } from "pino";
import { runXenoServer } from "../../xenod/daemon/run-xeno-server.ts";
import { createSimulator } from "../../xenod/hypervisors/simulator/simulator.ts";

const ending = new AbortController();
process.on("SIGTERM", () => ending.abort());
let diesAt: string | undefined;
let holdsAt: string | undefined;
let letGo: (() => void) | undefined;
process.on("message", ({ dies, holds, goOn }: { dies?: string; holds?: string; goOn?: boolean }) => {
  if (goOn) letGo?.();
  diesAt = dies ?? diesAt;
  holdsAt = holds ?? holdsAt;
  process.send!("noted");
});
const { simulates, ...options } = JSON.parse(process.argv[2]);
const log = pino({ level: "info" }, pino.destination({ dest: options.logFile, sync: true }));
await runXenoServer({
  ...options,
  log,
  hypervisor: simulates ? createSimulator() : undefined,
  signal: ending.signal,
  onReady: (ready) => process.send?.(ready),
  onStep: async (_domain, step) => {
    if (step === diesAt) process.kill(process.pid, "SIGKILL");
    if (step !== holdsAt) return;
    holdsAt = undefined;
    await new Promise<void>((resolve) => {
      letGo = resolve;
      process.send!("holding");
    });
  },
});
process.disconnect?.();
