"use strict";

// The player: all tracks in time with each other, from pieces that are decoded shortly before they sound.
//
// A piece holds `chunk` seconds of its track, `lead` seconds of what comes before them, and a little of what follows.
// All pieces of all tracks are started by the clock of one AudioContext, so they cannot drift apart.
(() => {
  const RATE = 48000; // Hz, of the previews
  const SOON = 0.03; // seconds from a click to the sound, for the sources to be set up
  const RAMP = 0.01; // seconds in which a level changes or a piece fades into the next: no clicks
  const STEP = 5; // seconds that an arrow key goes

  const song = JSON.parse(document.getElementById("data").textContent);
  const $ = (selector, inside = document) => inside.querySelector(selector);
  const count = Math.ceil(song.heard / song.chunk);
  const chunkAt = (time) => Math.max(0, Math.min(count - 1, Math.floor(time / song.chunk)));

  const tracks = [...document.querySelectorAll(".track")].map((lane) => ({
    lane,
    name: lane.dataset.name,
    isMix: "mix" in lane.dataset,
    mute: $(".mute", lane),
    solo: $(".solo", lane),
    volume: $(".volume", lane),
    muted: $(".mute", lane).getAttribute("aria-pressed") === "true",
    soloed: false,
    gain: null, // a GainNode, once there is a context
  }));
  const controls = {};
  for (const id of ["play", "now", "position", "stems", "original", "spectra", "keys", "said", "trouble"])
    controls[id] = document.getElementById(id);
  const lanes = $(".lanes");
  const meter = $(".meter");

  document.documentElement.classList.add("js");
  controls.spectra.addEventListener("click", switchPictures);
  if (!window.AudioContext || !window.OfflineAudioContext || !count) {
    trouble(count ? "This browser has no Web Audio, so it cannot play the tracks." : "There is nothing to play.");
    return;
  }
  for (const part of document.querySelectorAll(".transport, .switches, .hint, .keys")) part.hidden = false;

  // ---- decoding: what sounds now and next, nothing else is kept

  const decoder = new OfflineAudioContext(2, 1, RATE); // decodes before any click, when no AudioContext may run yet
  const pieces = new Map(); // number -> promise of the AudioBuffers of all tracks

  function decoded(number) {
    for (const other of pieces.keys()) if (other < number - 1 || other > number + 1) pieces.delete(other);
    if (!pieces.has(number)) pieces.set(number, Promise.all(tracks.map((_, track) => decode(track, number))));
    return pieces.get(number);
  }

  async function decode(track, number) {
    const script = $(`script[data-track="${track}"][data-chunk="${number}"]`);
    if (!script) return null; // a track may be shorter
    const bytes = Uint8Array.from(atob(script.textContent), (letter) => letter.charCodeAt(0));
    const buffer = await decoder.decodeAudioData(bytes.buffer);
    // Where two pieces meet, each fades linearly: what they have in common stays as loud as it is.
    const length = Math.round(RAMP * buffer.sampleRate);
    const begin = Math.round(song.lead * buffer.sampleRate);
    const end = begin + song.chunk * buffer.sampleRate;
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      const samples = buffer.getChannelData(channel);
      for (let at = 0; at < length; at++) {
        if (number > 0) samples[begin + at] *= at / length;
        if (number < count - 1) samples[end + at] *= 1 - at / length;
      }
    }
    return buffer;
  }

  // ---- playing

  let context = null;
  let analyser = null;
  let levels = null;
  let at = 0; // seconds: where the song stands while it does not play
  let run = null; // while it plays: {origin, next, busy, sources}; origin: the context's time at the song's beginning

  const position = () =>
    run && run.origin !== null ? Math.min(song.heard, Math.max(at, context.currentTime - run.origin)) : at;

  function wire() {
    if (context) return;
    try {
      context = new AudioContext({ sampleRate: RATE });
    } catch {
      context = new AudioContext(); // some devices insist on their own rate
    }
    analyser = context.createAnalyser();
    levels = new Float32Array(analyser.fftSize);
    const master = context.createGain();
    master.connect(analyser).connect(context.destination);
    for (const track of tracks) {
      track.gain = context.createGain();
      track.gain.gain.value = level(track);
      track.gain.connect(master);
    }
  }

  async function play() {
    if (run) return;
    const mine = (run = { origin: null, next: 0, busy: true, sources: [] });
    if (at > song.heard - RAMP) at = 0;
    show();
    try {
      wire();
      const first = chunkAt(at);
      const [buffers] = await Promise.all([decoded(first), context.resume()]);
      if (run !== mine) return;
      mine.origin = context.currentTime + SOON - at;
      start(mine, first, buffers, at);
      mine.next = first + 1;
      mine.busy = false;
      frame();
    } catch (error) {
      if (run === mine) pause();
      trouble(`This browser cannot play the previews (${error.message || error.name}).`);
    }
  }

  function pause() {
    at = position();
    const ended = run;
    run = null;
    if (ended) for (const { source, fade } of ended.sources) stop(source, fade);
    show();
  }

  function stop(source, fade) {
    ramp(fade.gain, 0);
    source.stop(context.currentTime + 2 * RAMP);
  }

  // Starts the piece `number` of all tracks so that the song's second `from` sounds when the run's clock says so.
  function start(mine, number, buffers, from) {
    const earliest = context.currentTime + SOON / 2 - mine.origin; // later than that, when decoding took too long
    const begin = Math.max(from, earliest);
    const length = Math.min((number + 1) * song.chunk, song.heard) - begin + (number < count - 1 ? RAMP : 0);
    if (length <= 0) return;
    const joins = begin === number * song.chunk && number > 0 && mine.sources.length > 0; // fades by itself
    buffers.forEach((buffer, index) => {
      if (!buffer) return;
      const source = new AudioBufferSourceNode(context, { buffer });
      const fade = context.createGain();
      const when = mine.origin + begin;
      if (!joins) fade.gain.setValueAtTime(0, when).linearRampToValueAtTime(1, when + RAMP);
      source.connect(fade).connect(tracks[index].gain);
      source.start(when, song.lead + begin - number * song.chunk, length);
      const entry = { source, fade };
      mine.sources.push(entry);
      source.onended = () => {
        fade.disconnect();
        mine.sources.splice(mine.sources.indexOf(entry), 1);
      };
    });
  }

  // Has the next piece ready long before this one ends. Runs by a timer, since pages in the background draw nothing.
  async function fill() {
    const mine = run;
    if (!mine || mine.busy) return;
    if (position() >= song.heard) return pause();
    if (mine.next >= count || mine.next > chunkAt(position()) + 1) return;
    mine.busy = true;
    try {
      const buffers = await decoded(mine.next);
      if (run !== mine) return;
      start(mine, mine.next, buffers, mine.next * song.chunk);
      mine.next += 1;
    } catch (error) {
      if (run === mine) pause();
      trouble(`This browser cannot play the previews (${error.message || error.name}).`);
    }
    mine.busy = false;
  }
  setInterval(fill, 200);

  function seek(time) {
    const was = Boolean(run);
    if (was) pause();
    at = Math.max(0, Math.min(song.heard, time));
    if (was && at < song.heard - RAMP) play();
    else {
      decoded(chunkAt(at)).catch(() => {});
      show();
    }
  }

  // ---- who is heard

  let original = false;

  function level(track) {
    const volume = (Number(track.volume.value) / 100) ** 2; // as loudness is felt, more or less
    if (original) return track.isMix ? volume : 0;
    if (tracks.some((one) => one.soloed)) return track.soloed ? volume : 0;
    return track.muted ? 0 : volume;
  }

  function ramp(parameter, value) {
    const now = context.currentTime;
    parameter.cancelScheduledValues(now);
    parameter.setValueAtTime(parameter.value, now);
    parameter.linearRampToValueAtTime(value, now + RAMP);
  }

  function mixChanged() {
    for (const track of tracks) {
      const value = level(track);
      if (track.gain) ramp(track.gain.gain, value);
      track.mute.setAttribute("aria-pressed", track.muted);
      track.solo.setAttribute("aria-pressed", track.soloed);
      track.volume.setAttribute("aria-valuetext", `${track.volume.value} %`);
      track.lane.classList.toggle("unheard", value === 0);
    }
    lanes.classList.toggle("comparing", original);
    controls.stems?.setAttribute("aria-pressed", !original);
    controls.original?.setAttribute("aria-pressed", original);
  }

  function listenTo(mix) {
    original = mix;
    mixChanged();
  }

  function toggleMute(track) {
    track.muted = !track.muted;
    listenTo(false); // whoever works on tracks wants to hear them
  }

  function toggleSolo(track, alone) {
    const soloed = !track.soloed;
    if (alone) for (const other of tracks) other.soloed = false;
    track.soloed = soloed;
    listenTo(false);
  }

  // ---- what is shown

  let dragging = false; // the slider of the position

  function clock(time) {
    const [hours, minutes, seconds] = [time / 3600, (time / 60) % 60, time % 60].map(Math.floor);
    const pad = (number) => String(number).padStart(2, "0");
    return hours ? `${hours}:${pad(minutes)}:${pad(seconds)}` : `${minutes}:${pad(seconds)}`;
  }

  function show(time = position()) {
    controls.now.textContent = clock(time);
    if (!dragging) controls.position.value = time;
    controls.position.setAttribute("aria-valuetext", `${clock(time)} of ${clock(song.seconds)}`);
    lanes.style.setProperty("--at", `${(100 * time) / song.seconds}%`);
    controls.play.setAttribute("aria-label", run ? "Pause" : "Play");
    controls.play.classList.toggle("playing", Boolean(run));
    if (!run) meter.style.setProperty("--level", 0);
  }

  function frame() {
    if (!run) return;
    analyser.getFloatTimeDomainData(levels);
    const peak = levels.reduce((highest, sample) => Math.max(highest, Math.abs(sample)), 0);
    meter.style.setProperty("--level", Math.max(0, Math.min(1, 1 + Math.log10(peak + 1e-9) / 2.5))); // 50 dB
    if (!dragging) show();
    requestAnimationFrame(frame);
  }

  function trouble(text) {
    controls.trouble.textContent = text;
    controls.trouble.hidden = false;
  }

  function switchPictures() {
    const pressed = lanes.classList.toggle("spectra");
    controls.spectra.setAttribute("aria-pressed", pressed);
  }

  // ---- hands

  controls.play.addEventListener("click", () => (run ? pause() : play()));
  controls.position.addEventListener("input", () => {
    dragging = true; // the sound follows when it is let go
    show(Number(controls.position.value));
  });
  controls.position.addEventListener("change", () => {
    dragging = false;
    seek(Number(controls.position.value));
  });
  controls.stems?.addEventListener("click", () => listenTo(false));
  controls.original?.addEventListener("click", () => listenTo(true));
  for (const track of tracks) {
    track.mute.addEventListener("click", () => toggleMute(track));
    track.solo.addEventListener("click", (event) => toggleSolo(track, event.shiftKey || event.altKey));
    track.volume.addEventListener("input", mixChanged);
    $(".picture", track.lane).addEventListener("click", (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * song.seconds);
    });
  }

  const say = (text) => (controls.said.textContent = text); // to those who do not see it, and whose focus is elsewhere

  function compare() {
    if (!controls.original) return;
    listenTo(!original);
    say(original ? "original" : "stems");
  }

  const keys = {
    Space: () => controls.play.click(),
    k: () => controls.play.click(),
    ArrowLeft: () => seek(position() - STEP),
    ArrowRight: () => seek(position() + STEP),
    Home: () => seek(0),
    End: () => seek(song.heard),
    o: compare,
    v: switchPictures,
  };

  function onTrack(track, solo) {
    if (!track) return;
    if (solo) toggleSolo(track, false);
    else toggleMute(track);
    if (solo) say(`${track.name} ${track.soloed ? "solo" : "no longer solo"}`);
    else say(`${track.name} ${track.muted ? "muted" : "not muted"}`);
  }

  document.addEventListener("keydown", (event) => {
    const { code, target } = event;
    if (!controls.keys.checked || event.ctrlKey || event.metaKey || event.altKey) return;
    const letter = event.key.toLowerCase(); // by what is written on it; digits and others by their place
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(code);
    const focused = tracks.find((track) => track.lane.contains(target));
    const own = code === "Space" ? "button, a, summary, [type=checkbox]" : ".volume, .scroll"; // keys of the element's own
    if (target.closest(own) && (code === "Space" || /^(Arrow|Home|End)/.test(code))) return;
    if (digit) onTrack(tracks[digit[1] - 1], event.shiftKey);
    else if (event.shiftKey) return;
    else if ((letter === "m" || letter === "s") && focused) onTrack(focused, letter === "s");
    else if (code in keys) keys[code]();
    else if (letter in keys) keys[letter]();
    else return;
    event.preventDefault();
  });

  mixChanged();
  show();
  decoded(0).catch((error) => trouble(`This browser cannot play the previews (${error.message || error.name}).`));
})();
