// Facial landmarks in a web page, with a model of efld_tf. Nothing leaves the device.
export {LandmarkError} from "./errors.js";
export {FaceLandmarker} from "./landmarker.js";
export {FaceTracker} from "./tracker.js";
