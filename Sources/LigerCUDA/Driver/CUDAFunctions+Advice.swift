import CCUDA

extension CUDAFunctions {
    /// What to do about known causes.
    static func advice(_ code: CUresult) -> String? {
        switch code {
        case CUDA_ERROR_OUT_OF_MEMORY:
            "Use a smaller batch or sequence, or end other processes on the GPU (nvidia-smi lists them)"
        case CUDA_ERROR_NO_DEVICE:
            "The driver sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES"
        case CUDA_ERROR_INVALID_DEVICE:
            "Name one of the devices that `liger doctor` lists"
        case CUDA_ERROR_STUB_LIBRARY:
            "The toolkit's stub was found instead of a driver: take its folder out of LD_LIBRARY_PATH"
        case CUDA_ERROR_DEVICE_UNAVAILABLE:
            "Another process holds the GPU exclusively: wait for it or choose another device"
        case CUDA_ERROR_SYSTEM_NOT_READY:
            "The GPUs' fabric manager is not running: start nvidia-fabricmanager"
        case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
            "The kernel module and the driver library differ in version: restart the machine after an update"
        case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
            "The driver is too old for this GPU's kernels: update it"
        case CUDA_ERROR_INVALID_PTX, CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_NO_BINARY_FOR_GPU:
            "The generated kernel is wrong for this GPU: please report it with the text below"
        case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
            "libnvidia-ptxjitcompiler is missing next to the driver: install the driver completely"
        case CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS, CUDA_ERROR_ILLEGAL_INSTRUCTION,
            CUDA_ERROR_LAUNCH_FAILED:
            "An earlier kernel is at fault and the GPU cannot be used further by this process: run again with "
                + "LIGER_STRICT=1 to see which"
        case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
            "The kernel needs more registers or shared memory than a block has: please report it"
        case CUDA_ERROR_INVALID_CLUSTER_SIZE:
            "The GPU does not run clusters of that size: please report it"
        case CUDA_ERROR_LAUNCH_TIMEOUT:
            "The GPU also drives a display, which stops long kernels: use a smaller batch or another GPU"
        case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED:
            "While a graph is captured nothing may wait for the GPU or take new memory: run the step once before"
        default: nil
        }
    }
}
