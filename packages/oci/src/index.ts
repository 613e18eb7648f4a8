export type { ImageArchive, ImageConfig, ImageLayer } from './archive.ts';
export { openArchive } from './archive.ts';
export type { ImageDisk } from './cache.ts';
export { imageDisk } from './cache.ts';
export { imageInvalid } from './errors.ts';
export { flattenImage } from './flatten.ts';
export { digestOfFile, packLayout, writeImageArchive } from './pack.ts';
