import { spawnSync } from 'node:child_process';
import { Readable } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { sizeFrame, type TerminalSize, terminalSideMax, typedFrames } from '@fumehood/protocol';
import { rawTerminal } from '../cli/print.ts';
import { usage } from '../errors.ts';

/** The terminal of this command, which is that of the job. */
export interface Terminal {
  /** Its size at the beginning. */
  readonly size: TerminalSize;
  /** The variables that say what kind of terminal it is. */
  readonly environment: readonly string[];
  /**
   * What is typed, and the changes of its size, as frames. From the first reading on the terminal is raw: every key goes to the job. When
   * the stream is destroyed, the terminal has the settings again that it had.
   */
  readonly stdin: Readable;
}

/** The escape: so many times Ctrl-C, within so many ms. */
const escape = { byte: 3, times: 3, ms: 1_000 };

/**
 * Opens the terminal that stdin and stdout are. Whatever ends this process, except SIGKILL, has its settings restored. Errors: `usage` if
 * one of them is no terminal.
 */
export function openTerminal({ stdin, stdout, env }: NodeJS.Process): Terminal {
  if (!stdin.isTTY || !stdout.isTTY)
    throw usage(
      `--tty needs a terminal, and ${stdin.isTTY ? 'stdout' : 'stdin'} is none`,
      'Leave --tty out; `script -qc "fumehood run -t …" /dev/null` gives a command a terminal.',
    );
  const saved = stty('-g').trim();
  const presses: number[] = [];
  const send = (frame: Buffer) => {
    if (!frames.push(frame)) stdin.pause();
  };
  const onData = (bytes: Buffer) => {
    if (isEscape(bytes, presses)) process.kill(process.pid, 'SIGINT');
    send(typedFrames(bytes));
  };
  const onEnd = () => void frames.push(null);
  const onSize = () => send(sizeFrame(sizeOf(stdout)));
  const enter = () => {
    stty('raw', '-echo');
    rawTerminal(true);
  };
  const leave = () => {
    stty(saved);
    rawTerminal(false);
  };
  const onSuspend = () => {
    leave();
    process.kill(process.pid, 'SIGSTOP');
  };
  const onResume = () => {
    enter();
    onSize();
  };
  let isRaw = false;
  const begin = () => {
    isRaw = true;
    process.on('exit', restore).on('SIGTSTP', onSuspend).on('SIGCONT', onResume);
    enter();
    onSize(); // it may have changed since the job was made
    stdin.on('data', onData).on('end', onEnd);
    stdout.on('resize', onSize);
  };
  const restore = () => {
    if (!isRaw) return;
    isRaw = false;
    leave();
    stdin.off('data', onData).off('end', onEnd).pause();
    stdout.off('resize', onSize);
    process.off('exit', restore).off('SIGTSTP', onSuspend).off('SIGCONT', onResume);
  };
  const frames = new Readable({
    read: () => void (isRaw ? stdin.resume() : begin()),
    destroy(error, done) {
      restore();
      done(error);
    },
  });
  return {
    size: sizeOf(stdout),
    environment: /^[A-Za-z0-9_-]{1,64}$/.test(env.TERM ?? '') ? [`TERM=${env.TERM}`] : [],
    stdin: frames,
  };
}

function sizeOf({ rows, columns }: Pick<WriteStream, 'rows' | 'columns'>): TerminalSize {
  const bounded = (side: number, usual: number) => (side >= 1 ? Math.min(side, terminalSideMax) : usual);
  return { rows: bounded(rows, 24), columns: bounded(columns, 80) };
}

/** Whether the last of these bytes makes the escape. `presses`: the times of the last ones, ms. */
function isEscape(bytes: Buffer, presses: number[]): boolean {
  const now = performance.now();
  for (const byte of bytes) {
    if (byte === escape.byte) presses.push(now);
    else presses.length = 0;
    if (presses.length < escape.times) continue;
    if (now - (presses.shift() ?? 0) > escape.ms) continue;
    presses.length = 0;
    return true;
  }
  return false;
}

/** Runs `stty` on this process's terminal: Node's own raw mode would leave the translation of its output on. */
function stty(...args: readonly string[]): string {
  return spawnSync('stty', args, { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' }).stdout ?? '';
}
