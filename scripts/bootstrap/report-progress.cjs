"use strict";
/**
 * Progress on stderr (stdout belongs to the started program): on a terminal one line that is rewritten each second,
 * elsewhere a line at the start and one every 20 s, so that a log shows life without filling up.
 */
const silentSeconds = 20;

function reportProgress(label) {
  const terminal = process.stderr.isTTY === true;
  const started = Date.now();
  let detail = "";
  let ticks = 0;

  const draw = () => {
    const seconds = Math.round((Date.now() - started) / 1000);
    const line = `${label} ${seconds} s${detail === "" ? "" : `: ${detail}`}`;
    if (terminal) process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
    else process.stderr.write(`${line}\n`);
  };
  if (terminal) draw();
  else process.stderr.write(`${label}\n`);
  const timer = setInterval(() => {
    ticks += 1;
    if (terminal || ticks % silentSeconds === 0) draw();
  }, 1000);
  timer.unref();

  return {
    detail(text) {
      detail = text;
    },
    end(outcome) {
      clearInterval(timer);
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      process.stderr.write(`${terminal ? "\r\x1b[K" : ""}${label} ${outcome} (${seconds} s)\n`);
    },
  };
}

module.exports = { reportProgress };
