import { GloveboxError } from '@glovebox/base';

export function imageInvalid(why: string): GloveboxError {
  return new GloveboxError({
    code: 'image_invalid',
    message: `the container image cannot be used: ${why}`,
    remedy: 'Make it again, e.g. with `skopeo copy … oci:DIR:TAG` or `docker save`, for linux/amd64.',
  });
}

export function imageNotFound(why: string, remedy: string): GloveboxError {
  return new GloveboxError({ code: 'image_not_found', message: why, remedy });
}

export function imageTooBig(why: string): GloveboxError {
  return new GloveboxError({
    code: 'image_too_big',
    message: `the container image is refused: ${why}`,
    remedy: 'Make it with less in it.',
  });
}
