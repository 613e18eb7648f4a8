import { digestSchema } from '@fumehood/protocol';

/** Whether the image of a step is named by the digest of an image archive on the instance, and not by a reference to an image of a registry. */
export const isArchive = (image: string): boolean => digestSchema.safeParse(image).success;

/** Returns an image as executors get it: `blob:<digest>` for an image archive (`dockerStepSchema`). */
export const imageForExecutor = (image: string): string => (isArchive(image) ? `blob:${image}` : image);
