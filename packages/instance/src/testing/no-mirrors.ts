/** What retention needs besides, where no repository is mirrored. */
export const noMirrors = {
  mirrors: { open: () => Promise.reject(new Error('no repository is mirrored here')) },
  log: { warn: (found: object) => Promise.reject(found) },
};
