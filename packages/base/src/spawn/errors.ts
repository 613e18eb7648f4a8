import { FumehoodError } from '../errors.ts';

export function spawnFailed(label: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'spawn_failed',
    message: `${label} could not be started: ${why}`,
    remedy: 'Run `fumehood doctor`, which says what package or permission is missing.',
  });
}

export function programFailed(label: string, status: string, stderr: string): FumehoodError {
  const lines = stderr.trim().split('\n').slice(-5).join('\n');
  return new FumehoodError({
    code: 'program_failed',
    message: `${label} ${status}${lines && `: ${lines}`}`,
    details: { stderr: lines },
  });
}
