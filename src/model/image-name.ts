/** Distribution's grammar of references: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, or an image's id. */
const imageName = new RegExp(
  '^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\\d{1,5})?/)?' +
    '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*' +
    '(?::\\w[\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$',
);

/** Whether the name is safe to be part of a URL or a command. */
export function isImageName(name: string): boolean {
  return name.length <= 500 && imageName.test(name);
}
