import { spawn } from 'node:child_process';

/** What a program took, ms from its start: until the first byte of its stdout, and until it and its output ended. */
export interface Time {
  readonly firstByte: number;
  readonly end: number;
  readonly code: number | null;
  readonly stdout: string;
}

/** Runs a program without stdin. */
export function timeOf(program: string, args: readonly string[], env = process.env): Promise<Time> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], env });
    let firstByte = Number.NaN;
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (stdout === '') firstByte = performance.now() - start;
      stdout += chunk.toString('latin1');
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ firstByte, end: performance.now() - start, code, stdout }));
  });
}
