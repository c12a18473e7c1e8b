// What stands above devices imports this module alone.
@_exported public import LigerArrays
@_exported public import LigerCPU
@_exported public import LigerCUDA
@_exported public import LigerGPU
@_exported public import LigerHIP
@_exported public import LigerRecording
