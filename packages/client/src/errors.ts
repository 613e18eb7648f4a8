import { FumehoodError } from '@fumehood/base';

export function instanceUnreachable(url: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `the instance at ${url} cannot be reached: ${why}`,
    remedy: url.startsWith('unix:')
      ? 'Check with `fumehood status` that it is running.'
      : 'Check the address, also whether it begins with https:// or http://, and on the machine of the instance with `fumehood status` that it is running.',
  });
}

/** The server has a certificate that this machine does not trust for this name. */
export function certificateUntrusted(url: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'certificate_untrusted',
    message: `the certificate of ${url} is not trusted: ${why}`,
    remedy:
      'Check the name in the address. If your own CA made the certificate, install the CA on this machine, or set NODE_EXTRA_CA_CERTS to its PEM file.',
  });
}

/** The server speaks another protocol than the address says. */
export function schemeWrong(url: string, why: string): FumehoodError {
  const [spoken, other] = url.startsWith('https:') ? ['TLS', 'http://'] : ['plain HTTP', 'https://'];
  return new FumehoodError({
    code: 'scheme_wrong',
    message: `${url} does not answer in ${spoken}: ${why}`,
    remedy: `Check the port. Use ${other} if that is what listens there.`,
  });
}

/** The instance does not know the access token that every request of the client has. */
export function tokenRefused(url: string): FumehoodError {
  return new FumehoodError({
    code: 'unauthorized',
    status: 401,
    message: `the instance at ${url} does not accept the access token: it is mistyped, expired, revoked or of another instance`,
    remedy: `Ask for another one (\`fumehood tokens create\`), and store it with \`fumehood login ${url}\`.`,
  });
}

/** The instance sent a response that this version of the client does not understand. */
export function answerUnknown(url: string, what: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'answer_unknown',
    message: `the instance at ${url} sent a response to ${what} that this client does not understand: ${why}`,
    remedy: 'Use the client of the same version as the instance.',
  });
}

/** A directory cannot be sent as the workspace of a job. */
export function directoryInvalid(directory: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'directory_invalid',
    message: `the directory ${directory} cannot be sent: ${why}`,
    remedy: 'Give a directory that exists, or one with less in it.',
  });
}

/** A file was written while its directory was sent. Nothing is kept of what was sent. */
export function fileChanged(path: string): FumehoodError {
  return new FumehoodError({
    code: 'file_changed',
    message: `${JSON.stringify(path)} changed while its directory was read, so the directory was not sent`,
    remedy: 'Call the command again when no program writes into the directory.',
  });
}

/** What a job brought back is no archive that an executor writes. Nothing of it is in its place. */
export function artifactInvalid(path: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'artifact_invalid',
    message: `what the job brought back from ${path} is not written: ${why}`,
    remedy: 'Take the job for hostile. `GET /api/jobs/ID/artifacts/PATH` has the archive as it is.',
  });
}

/** Something is in the place of what a job brought back. */
export function artifactNotWritten(place: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'artifact_not_written',
    message: `${place} cannot be written: ${why}`,
    remedy: 'Move away what is there, or give another directory.',
  });
}

/** The program has not said which instance it means, or has no token for it. */
export function instanceNotNamed(missing: 'url' | 'token'): FumehoodError {
  return new FumehoodError({
    code: 'instance_not_named',
    message: missing === 'url' ? 'no instance is named' : 'there is no access token for the instance',
    remedy: `Give \`${missing}\`, or set ${missing === 'url' ? 'FUMEHOOD_URL' : 'FUMEHOOD_TOKEN'}.`,
  });
}

/** A job ended without an end of its command. The code is the reason that the instance gives. */
export function jobFailed(
  id: number,
  state: string,
  failure: { readonly reason: string; readonly message: string } | null,
): FumehoodError {
  return new FumehoodError({
    code: failure?.reason ?? state,
    message: failure?.message ?? `job ${id} is ${state}`,
    details: { job: id },
  });
}
