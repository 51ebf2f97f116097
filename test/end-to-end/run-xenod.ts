/** Program: one Xenod, as a process that tests can kill. Its only argument is JSON. */
import { pino } from "pino";
import { runXenoServer } from "../../xenod/daemon/run-xeno-server.ts";

const ending = new AbortController();
process.on("SIGTERM", () => ending.abort());
const options = JSON.parse(process.argv[2]);
const log = pino({ level: "info" }, pino.destination({ dest: options.logFile, sync: true }));
await runXenoServer({ ...options, log, signal: ending.signal, onReady: () => process.send?.("ready") });
process.disconnect?.();
