import { GloveboxError } from '../errors.ts';

export function spawnFailed(label: string, why: string): GloveboxError {
  return new GloveboxError({
    code: 'spawn_failed',
    message: `${label} could not be started: ${why}`,
    remedy: 'Run `glovebox doctor`: it says which package or permission is missing.',
  });
}

export function programFailed(label: string, status: string, stderr: string): GloveboxError {
  const lines = stderr.trim().split('\n').slice(-5).join('\n');
  return new GloveboxError({
    code: 'program_failed',
    message: `${label} ${status}${lines && `: ${lines}`}`,
    details: { stderr: lines },
  });
}

export function tooBig(what: string, maxBytes: number): GloveboxError {
  return new GloveboxError({ code: 'too_big', message: `${what} is larger than ${maxBytes} bytes` });
}
