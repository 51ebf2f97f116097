/** Program: makes a switch under argv's prefix and waits to be killed. */
import { claimPrefix } from "../../../xenod/links/sweep.ts";
import { createSwitch } from "../../../xenod/links/switch.ts";

const [prefix, records] = process.argv.slice(2);
await claimPrefix(prefix, records);
await createSwitch(prefix);
process.send!("made");
process.on("disconnect", () => process.exit(0));
