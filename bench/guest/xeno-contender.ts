/** Ours: a deployment on a XenoServer, its root a union of the overlay and its template. */
import { kernelUrl } from "../../control/demo/prepare.ts";
import { deployEverywhere } from "../../control/deploy/deploy-everywhere.ts";
import { type LocalServers, removeDomain } from "../../control/network/start-servers.ts";
import { type Contender, guest } from "./contender.ts";

const consoleBytes = 262_144;

export function createXenoContender({ servers: [server] }: LocalServers, overlay: string): Contender {
  return {
    name: "xeno",
    title: "XenoServer",
    async boot(signal) {
      const document = { ...guest, overlay, kernel: kernelUrl };
      const [{ domain, error }] = await deployEverywhere([server], document, () => {}, signal);
      if (domain === undefined) throw error;
      return {
        readConsole: () => server.client.log(guest.name, consoleBytes, signal),
        remove: () => removeDomain(server, guest.name, signal),
      };
    },
  };
}
