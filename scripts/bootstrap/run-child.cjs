"use strict";
/**
 * Runs a program to its end and passes signals on to it, each once.
 *
 * Ctrl-C reaches a program under `npm start` several times: from the terminal, as a member of the foreground group, and
 * again from npm, which forwards it. So the program gets a session of its own (the terminal then signals only us) and
 * signals of one kind that arrive within a second of each other count as one. A second Ctrl-C later is passed on.
 * Should we be killed outright, the kernel tells the program with SIGTERM (setpriv(1), PR_SET_PDEATHSIG in prctl(2)).
 */
const { spawn } = require("node:child_process");

const sameSignalMs = 1000;
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGWINCH"];
/** npm says what is wrong first and apt last: of captured output this many lines of both ends are kept. */
const keptLines = 15;

/**
 * @param {string[]} command the program and its arguments
 * @param {{ cwd?: string, env?: object, onLine?: (line: string) => void, endWithUs?: boolean }} options
 *   `onLine` captures output, line by line, instead of showing it; `endWithUs` ends the program when we are killed
 * @returns {Promise<{ code: number, signal: string | null, output: string }>} `output` is both ends of what was captured
 */
function runChild(command, options = {}) {
  const capture = options.onLine !== undefined;
  const line = options.endWithUs ? ["setpriv", "--pdeathsig", "TERM", "--", ...command] : command;
  const child = spawn(line[0], line.slice(1), {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: capture ? ["ignore", "pipe", "pipe"] : "inherit",
  });

  const lastAt = new Map();
  const forward = (signal) => {
    const now = Date.now();
    const repeated = signal !== "SIGWINCH" && now - (lastAt.get(signal) || 0) < sameSignalMs;
    lastAt.set(signal, now);
    if (!repeated) child.kill(signal);
  };
  for (const signal of forwarded) process.on(signal, forward);

  const head = [];
  const tail = [];
  if (capture) {
    for (const stream of [child.stdout, child.stderr]) {
      readLines(stream, (text) => {
        (head.length < keptLines ? head : tail).push(text);
        if (tail.length > keptLines) tail.shift();
        options.onLine(text);
      });
    }
  }

  return new Promise((resolve, reject) => {
    const end = () => {
      for (const signal of forwarded) process.off(signal, forward);
    };
    child.on("error", (error) => {
      end();
      reject(error);
    });
    child.on("close", (code, signal) => {
      end();
      resolve({ code: code === null ? 1 : code, signal, output: [...head, ...tail].join("\n") });
    });
  });
}

function readLines(stream, onLine) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = lines.pop().slice(-4096);
    for (const line of lines) if (line.trim() !== "") onLine(line);
  });
  stream.on("end", () => {
    if (rest.trim() !== "") onLine(rest);
  });
}

/** Ends this process as the child ended: by the same signal or with the same code. */
function endLike(result) {
  if (result.signal !== null) process.kill(process.pid, result.signal);
  else process.exitCode = result.code;
}

module.exports = { runChild, endLike };
