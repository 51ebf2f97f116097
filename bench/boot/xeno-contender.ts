/** Ours: the overlay deployed on XenoServers, as `npm start` does it. */
import { deployAndFetch } from "../../control/demo/deploy-and-fetch.ts";
import { type LocalServers, removeDomain } from "../../control/network/start-servers.ts";
import { deploymentSteps } from "../../xenod/daemon/domain-record.ts";
import { nameLink } from "../../xenod/links/guest-link.ts";
import { joinNames } from "../../xenod/links/namespaces.ts";
import { readProcessorMs } from "../processor-time.ts";
import type { Contender } from "./contender.ts";

export function createXenoContender({ prefix, servers, clientNamespace }: LocalServers, overlay: string): Contender {
  return {
    name: "xeno",
    title: "XenoServer",
    guests: servers.map(({ name }) => name),
    async boot(guest, run, signal) {
      const server = servers.find(({ name }) => name === guest)!;
      await using cleanup = new AsyncDisposableStack();
      // After an interruption the XenoServer removes its domains itself, when it is taken down.
      const removeAll = async () => {
        if (signal.aborted) return;
        for (const { name } of await server.client.domains(signal)) await removeDomain(server, name, signal);
      };
      cleanup.defer(removeAll);
      const cpuBeforeMs = await readProcessorMs(joinNames(prefix, guest));
      const command = Date.now();
      const deployment = { server, overlay, clientNamespace, onStep: () => {}, cleanup, signal };
      const { answeredAt, domain } = await deployAndFetch(deployment);
      const guestCpuMs = await readProcessorMs(nameLink({ prefix, server: guest, domain: domain.name }));
      const serverCpuMs = (await readProcessorMs(joinNames(prefix, guest))) - cpuBeforeMs;
      const removal = Date.now();
      await removeAll();
      const removeMs = Date.now() - removal;
      const steps = deploymentSteps.map((step) => [step, domain.steps[step]! - command]);
      return {
        run,
        guest,
        steps: { ...Object.fromEntries(steps), page: answeredAt - command },
        removeMs,
        guestCpuMs,
        serverCpuMs,
      };
    },
  };
}
