/** What is laid over the root of a guest that is to run programs: the agent, what it reads, and what starts it where systemd is init. */
import { readFileSync } from "node:fs";
import type { LaidFile } from "../daemon/deployment.ts";
import { composeAssignment, programsDirectory } from "./assignment.ts";

const agent = readFileSync(new URL("agent.sh", import.meta.url), "utf8");
const agentPath = `${programsDirectory}/agent`;

const service = `[Unit]
Description=Runs the programs that the XenoServer lays here
[Service]
ExecStart=${agentPath}
Restart=always
`;

/** A guest with another init starts the agent itself. */
export function composeAgentFiles(): LaidFile[] {
  return [
    { path: agentPath, content: agent, mode: "0755" },
    { path: `${programsDirectory}/next`, content: composeAssignment([]) },
    { path: "/etc/systemd/system/xeno-programs.service", content: service },
    // Wanted without a link: only files are laid (systemd.unit(5)).
    {
      path: "/etc/systemd/system/multi-user.target.d/50-xeno-programs.conf",
      content: "[Unit]\nWants=xeno-programs.service\n",
    },
  ];
}
