// Each call of the npm package `remove.bg`, and what came of it.
const fs = require("fs"), bg = require("remove.bg"), { API_KEY: apiKey, PHOTO: path, PHOTO_URL: url } = process.env;
const base64img = fs.readFileSync(path).toString("base64");
const show = (name) => [
  (done) => console.log(name, Buffer.from(done.base64img, "base64").length + " bytes", JSON.stringify({ ...done, base64img: undefined })),
  (errors) => console.log(name, "refused", JSON.stringify(errors)),
];
(async () => {
  await bg.removeBackgroundFromImageFile({ path, apiKey, size: "auto", crop: true, outputFile: "out.png" }).then(...show("file"));
  await bg.removeBackgroundFromImageFile({ path, apiKey, size: "regular", type: "product", scale: "50%", position: "center",
    roi: "0% 0% 100% 100%", bg_color: "fff", channels: "rgba", add_shadow: "false", crop_margin: "0" }).then(...show("file, all options"));
  await bg.removeBackgroundFromImageUrl({ url, apiKey, size: "full" }).then(...show("url"));
  await bg.removeBackgroundFromImageBase64({ base64img, apiKey, bg_color: "81d4fa77" }).then(...show("base64"));
  await bg.removeBackgroundFromImageBase64({ base64img, apiKey, type: "person" }).then(...show("type=person"));
  await bg.removeBackgroundFromImageUrl({ url, apiKey: "wrong" }).then(...show("wrong key"));
})();
