"""Make the hypervisor what the contract says, from the state the installer leaves; a second run changes nothing."""
