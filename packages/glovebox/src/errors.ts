import { GloveboxError } from '@glovebox/base';

/** Wrong arguments: nothing was done. */
export function usage(message: string, remedy: string): GloveboxError {
  return new GloveboxError({ code: 'usage', message, remedy });
}

export function stateBusy(state: string, holder: string): GloveboxError {
  return new GloveboxError({
    code: 'state_busy',
    message: `${holder} is starting or stopping what runs in ${state}`,
    remedy: 'Wait until it is done, or set GLOVEBOX_STATE to another directory.',
  });
}

export function notStarted(what: string, why: string, log: string): GloveboxError {
  return new GloveboxError({
    code: 'not_started',
    message: `${what} did not start: ${why}`,
    remedy: `Its log is ${log}.`,
  });
}

export function notRunning(state: string): GloveboxError {
  return new GloveboxError({
    code: 'not_running',
    message: `no instance runs in ${state}`,
    remedy: 'Start it with `glovebox up`, or set GLOVEBOX_STATE to the directory of one that runs.',
  });
}

export function settingsInvalid(file: string, why: string): GloveboxError {
  return new GloveboxError({
    code: 'settings_invalid',
    message: `${file} is not usable: ${why}`,
    remedy: 'Correct it, or remove it: docs/access.md says what it may hold.',
  });
}

export function stillRunning(state: string): GloveboxError {
  return new GloveboxError({
    code: 'still_running',
    message: `an instance or an executor runs in ${state}`,
    remedy: 'Stop it with `glovebox down`.',
  });
}

export function imageUnknown(name: string, known: readonly string[]): GloveboxError {
  return usage(
    `${name} is not an image: there is no registry client yet`,
    `Give an OCI layout as oci:DIR[:REF] (from \`skopeo copy docker://… oci:DIR\`), an archive as docker-archive:FILE, or one of: ${known.join(', ')}.`,
  );
}

export function repositoryUnreadable(path: string, why: string, remedy: string): GloveboxError {
  return new GloveboxError({ code: 'repository_unreadable', message: `${path}: ${why}`, remedy });
}

export function demoFailed(message: string, remedy: string): GloveboxError {
  return new GloveboxError({ code: 'demo_failed', message, remedy });
}
