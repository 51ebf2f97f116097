/** Program: makes or removes a host uplink in the network namespace that it is started in. Its argument is JSON. */
import { createHostUplink, removeHostUplink } from "../../../xenod/links/host-uplink.ts";

const { remove, ...uplink } = JSON.parse(process.argv[2]);
await (remove ? removeHostUplink(uplink) : createHostUplink(uplink));
