"""What `ansible-doc` says of mgmt_guest, which runs on the controller (action_plugins/mgmt_guest.py)."""

DOCUMENTATION = r"""
module: mgmt_guest
short_description: Make a host of the inventory a VM of its management hypervisor
description:
  - Creates the VM that the inventory declares for this host, or finishes it where an earlier run was cut off. A VM that
    is there and differs is reported and left alone.
  - It is C(./invoke provision) for the hosts of the play - the same plan, refusals, lock, journal and proofs. All hosts
    that Ansible works on side by side are planned as one and cloned together, so give C(--forks) at least as many.
  - It runs on the controller and never connects to the host, so the play needs C(gather_facts) off. What follows it may
    connect - the VM answers by then.
  - It reads the site's folder itself. Extra variables and other inventories do not change what is made.
  - The secrets come from where the inventory points, at the controller. Processes of Ansible have no terminal, so a
    C(command) must not ask there, and a C(vault) needs E(ANSIBLE_VAULT_PASSWORD_FILE).
options:
  site_folder:
    description: The site's folder. Without it, the one that was given with C(-i).
    type: path
attributes:
  check_mode: {support: full, description: Makes the plan, by reads only; fails where the run would be refused.}
  diff_mode: {support: full, description: Shows the VM as it will be.}
  async: {support: none, description: Waits for the VM.}
author: mgmt-harness
"""

EXAMPLES = r"""
- name: The management VMs, and then what runs on them
  hosts: management_vms
  gather_facts: false
  tasks:
    - name: Make the VM
      mgmt_guest:
      register: made

    - name: Tell it from one that was there
      ansible.builtin.debug:
        msg: "new: {{ made.msg }}"
      when: made is changed
"""

RETURN = r"""
kind: {description: "C(create), C(finish), or nothing when there is nothing to do.", type: str, returned: success}
outcome: {description: "C(created), C(finished) or C(failed).", type: str, returned: after a run that had to do with it}
vmid: {description: The VM's number., type: int, returned: success}
mac: {description: The declared MAC., type: str, returned: success}
address: {description: The declared address., type: str, returned: success}
differences: {description: What of a VM is not as declared., type: list, elements: str, returned: success}
seconds: {description: What each step took., type: dict, returned: as outcome}
upids: {description: The tasks of PVE's., type: list, elements: str, returned: as outcome}
retries: {description: What was tried again., type: list, elements: str, returned: as outcome}
identity_by: {description: How it got an identity of its own - C(agent) or C(ssh)., type: str, returned: as outcome}
"""
