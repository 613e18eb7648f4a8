import { FumehoodError } from '@fumehood/base';

/** The image is malformed, damaged, or for another platform. */
export function imageInvalid(
  why: string,
  remedy = 'Build or copy the image again. If `umoci unpack` or `docker run` accepts it as it is, report this as a defect.',
): FumehoodError {
  return new FumehoodError({
    code: 'image_invalid',
    message: `the container image cannot be used: ${why}`,
    remedy,
  });
}

/** There is no image of this name, or several to choose from. */
export function imageNotFound(why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'image_not_found', message: why, remedy });
}

/** The image exceeds a limit. */
export function imageTooBig(why: string, remedy = 'Make a smaller image.'): FumehoodError {
  return new FumehoodError({
    code: 'image_too_big',
    message: `the container image is refused: ${why}`,
    remedy,
  });
}

/** The registry refuses these credentials, or an anonymous request. Many registries answer so for an image that does not exist, too. */
export function registryUnauthorized(reference: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'registry_unauthorized',
    message: `the registry refuses access to ${reference}: ${why}`,
    remedy:
      "Check the image's name. Its registry may want a credential: `fumehood registries add HOST` stores one on the instance, `registryAuthFile` on the executor.",
  });
}

/** The registry did not answer, or not usefully. A retry may succeed. */
export function registryUnreachable(reference: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'registry_unreachable',
    message: `the registry could not be asked for ${reference}: ${why}`,
    remedy: 'Check that the executor reaches the registry, and check `registries` in its configuration.',
  });
}

/** A reference or a redirect of a registry leads to an address that only the executor's machine or network can reach. */
export function registryNotPublic(place: string): FumehoodError {
  return new FumehoodError({
    code: 'registry_not_public',
    message: `the container image is refused: ${place} is not at a public address`,
    remedy: "If it is your own registry, name it under `registries` in the executor's configuration.",
  });
}
