import { FumehoodError } from '@fumehood/base';

export function imageInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'image_invalid',
    message: `the container image cannot be used: ${why}`,
    remedy: 'Make it again, e.g. with `skopeo copy … oci:DIR:TAG` or `docker save`, for linux/amd64.',
  });
}

export function imageNotFound(why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'image_not_found', message: why, remedy });
}

export function imageTooBig(why: string): FumehoodError {
  return new FumehoodError({
    code: 'image_too_big',
    message: `the container image is refused: ${why}`,
    remedy: 'Make it with less in it.',
  });
}

/** The registry refuses these credentials, or none. Many say so of what does not exist, too. */
export function registryUnauthorized(reference: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'registry_unauthorized',
    message: `the registry does not give out ${reference}: ${why}`,
    remedy: "Check the image's name, and the job's or the executor's credential for this registry.",
  });
}

/** Worth another try. */
export function registryUnreachable(reference: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'registry_unreachable',
    message: `the registry could not be asked for ${reference}: ${why}`,
    remedy:
      'Check that the executor reaches the registry, and how it is named under `registries` in its configuration.',
  });
}

/** A reference, or a registry that sends on, to what only the executor's machine or network reaches. */
export function registryNotPublic(place: string): FumehoodError {
  return new FumehoodError({
    code: 'registry_not_public',
    message: `the container image is refused: ${place} is not at a public address`,
    remedy: "If it is a registry of yours, name it under `registries` in the executor's configuration.",
  });
}
