// Two minutes before the session ends, say so. Every page works without this script.
"use strict";

const section = document.querySelector("[data-warn-after]");
setTimeout(() => {
  section.append(section.querySelector("template").content.cloneNode(true));
  section.querySelector("button").focus();
}, Number(section.dataset.warnAfter) * 1000);
